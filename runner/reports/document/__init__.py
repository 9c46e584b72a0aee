"""The report on a batch: values that were read and cleaned, and the same as one HTML file or as Markdown."""
