"""The page: a network of real replica processes, watched and broken in a browser. Read `contract` first."""
