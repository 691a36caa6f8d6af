package config

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// loops finds each for that stands within another. A few of them, one within the other, would keep the host busy for ever.
type loops struct {
	depth int
	errs  []error
}

var _ hclsyntax.Walker = (*loops)(nil)

// Enter implements hclsyntax.Walker.
func (l *loops) Enter(node hclsyntax.Node) hcl.Diagnostics {
	if loop, ok := node.(*hclsyntax.ForExpr); ok {
		if l.depth > 0 {
			l.errs = append(l.errs, errorf(loop.Range(), "a for within another is not allowed"))
		}
		l.depth++
	}
	return nil
}

// Exit implements hclsyntax.Walker.
func (l *loops) Exit(node hclsyntax.Node) hcl.Diagnostics {
	if _, ok := node.(*hclsyntax.ForExpr); ok {
		l.depth--
	}
	return nil
}

// nestedLoops are the mistakes of that kind in a file.
func nestedLoops(file *hcl.File) []error {
	body, ok := file.Body.(*hclsyntax.Body)
	if !ok {
		return nil
	}
	l := &loops{}
	return append(asErrors(hclsyntax.Walk(body, l)), l.errs...)
}
