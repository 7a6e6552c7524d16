"""Where policies in force are remembered."""

from netsre.app.flows import DATA_DIRS
from netsre.app.policing.places import STATE


def test_names_are_kept_in_no_data_directory() -> None:
    """Such a one is closed to the agent, which is root without the right to pass by modes.

    And a directory that `apply` had made there would not be empty when `netsre up` wants to take it over.
    """
    assert not any(STATE.is_relative_to(directory) for directory in DATA_DIRS)
