"""The command line: thin commands over the client, the importer and the service."""
