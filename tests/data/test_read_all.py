"""Many files, and one error."""

import re

import pytest

from stillroom.data.read_all import read_all
from stillroom.errors import StillroomError


def read(number):
    if number % 2:
        raise StillroomError("it is odd", where=f"file {number}", got=number)
    return number * 10


def test_what_is_read():
    assert read_all([2, 4], read, what="files", where="here") == [20, 40]
    assert read_all([], read, what="files", where="here") == []


def test_one_that_is_wrong_is_told_in_its_own_words():
    with pytest.raises(StillroomError, match=r"^file 3: it is odd; got 3\.$"):
        read_all([2, 3, 4], read, what="files", where="here")


def test_many_that_are_wrong_are_counted_and_five_of_them_named():
    tried = []

    def noted(number):
        tried.append(number)
        return read(number)

    message = "here: 2 of 4 files cannot be read; got file 1: it is odd; got 1; file 3: it is odd; got 3."
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        read_all(range(1, 5), noted, what="files", where="here")
    assert tried == [1, 2, 3, 4]
    with pytest.raises(
        StillroomError, match=r"here: 1,500 of 3,000 files .*; file 9: it is odd; got 9; and 1,495 more"
    ):
        read_all(range(3000), read, what="files", where="here")
