"""Values that every package uses: jobs, states, options, configs, errors, text. Imports nothing else of ours."""
