"""The one exception for what a user can cause and mend."""


class UserError(Exception):
    """A mistake in the input or the set-up.

    Its message names the file or utterance, what was expected, what was found, and the command or flag that mends it.
    The command line prints it as one line, without a traceback.
    """
