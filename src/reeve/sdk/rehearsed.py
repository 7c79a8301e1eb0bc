"""The flow of rehearsals, in a file as those of users are."""

from reeve.sdk.flows import flow


@flow
def nothing() -> None:
    """Do nothing."""
