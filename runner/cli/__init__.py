"""The command line: arguments -> plan -> one batch session -> exit code."""
