"""The command line, thin: parse, call the server, show. One file per command or group, loaded when used."""
