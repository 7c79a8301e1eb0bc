"""``reeve import prefect``: a source is read, a plan is made of it, the plan is carried out and reported."""
