"""Where the files of datasets lie on disk: one module lists the splits of one layout."""
