"""The template of the project's HTML pages: one document, one style sheet, tables, pictures and charts."""
