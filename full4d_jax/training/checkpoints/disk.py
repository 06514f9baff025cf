"""Places of checkpoints that no installed library can reach are refused."""

import fsspec

from full4d_jax.session.errors import InputError


def check_file_system(place: str) -> None:
    """Refuse a URL whose file system no installed library knows, without contacting it.

    Raises:
      InputError: naming the library, where there is one.
    """
    scheme, is_url, _ = place.partition("://")
    if is_url:
        try:
            fsspec.get_filesystem_class(scheme)
        except (ImportError, ValueError) as error:
            found, expected = f"no library for it ({error})", "a folder, or a URL such as gs://"
            do = "install it, or keep checkpoints in a folder"
            raise InputError("training.checkpoints", place, found, expected, do) from None
