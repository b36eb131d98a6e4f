"""Self-contained HTML pages: Jinja2 for the page, matplotlib for the plots, nothing from the network."""
