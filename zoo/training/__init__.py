"""Pretraining: recipes, the functions that they name, and the loop that trains, saves and resumes."""
