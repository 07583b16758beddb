"""The line in which an error that a user can fix says what is wrong."""

from collections.abc import Callable

import pytest

from digit_recognizer.errors import UserError


def complaint(error: type[UserError], function: Callable[..., object], *arguments: object) -> str:
    """The message of the error in which a call must end."""
    with pytest.raises(error) as caught:
        function(*arguments)
    return str(caught.value)
