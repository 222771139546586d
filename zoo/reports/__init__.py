"""Results for people: tables, model cards, figures and contact sheets."""
