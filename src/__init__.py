"""The pipeline under the name that programs of other people import it by."""
