// Package pluginv1 is the plugin contract on the wire: the services that plugins serve and their messages, generated from
// the .proto files beside it. Authors and the host use it through packages plugin, runtime and storage of the SDK.
package pluginv1
