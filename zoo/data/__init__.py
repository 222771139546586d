"""Images on disk and datasets in memory: names, downloads, folders, CSVs and arrays."""
