"""The work behind `full4d data`: building, importing, checking and showing datasets."""
