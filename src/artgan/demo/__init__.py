"""``artgan demo``: a local web page that paints. Gradio draws it; nothing outside this package knows Gradio."""
