package config

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// maxInclude bounds what file() reads: it is meant for keys and tokens.
const maxInclude = 64 << 10

// evaluation is what expressions may use: the functions env and file, and the variables given.
func evaluation(dir string, variables map[string]string) *hcl.EvalContext {
	ctx := &hcl.EvalContext{
		Variables: map[string]cty.Value{},
		Functions: map[string]function.Function{
			"env":  stringFunction("name", environment),
			"file": stringFunction("path", func(p string) (string, error) { return include(below(dir, p)) }),
		},
	}
	for name, value := range variables {
		ctx.Variables[name] = cty.StringVal(value)
	}
	return ctx
}

func stringFunction(parameter string, call func(string) (string, error)) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: parameter, Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			s, err := call(args[0].AsString())
			if err != nil {
				return cty.NilVal, function.NewArgError(0, err)
			}
			return cty.StringVal(s), nil
		},
	})
}

// environment is env("X"). A variable that is not set is a mistake; one that is set and empty is empty.
func environment(name string) (string, error) {
	if v, ok := os.LookupEnv(name); ok {
		return v, nil
	}
	return "", fmt.Errorf("the environment variable %s is not set", name)
}

// include is file("P"): the file's text without the line end that editors leave behind it.
func include(p string) (string, error) {
	f, err := os.Open(p)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxInclude+1))
	if err != nil {
		return "", err
	}
	if len(text) > maxInclude {
		return "", fmt.Errorf("%s is larger than %d kB", p, maxInclude>>10)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}
