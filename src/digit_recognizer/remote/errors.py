"""What can go wrong between here and Kaggle."""


class RemoteError(Exception):
    """A failure that the user can mend; the message is one line and says how.

    ``advice`` holds further lines, for where one line cannot say it all; ``status`` is the
    HTTP status behind it; ``refused`` is set where Kaggle turned the credentials down.
    """

    def __init__(
        self,
        message: str,
        advice: str = "",
        *,
        status: int | None = None,
        refused: bool = False,
    ) -> None:
        super().__init__(" ".join(message.split()))
        self.advice = advice
        self.status = status
        self.refused = refused
