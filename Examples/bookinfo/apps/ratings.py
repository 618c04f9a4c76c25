"""ratings: how many stars the reviewers gave."""

from http_app import arguments, serve

options = arguments("ratings", 9080)


def ratings(handler, book):
    return {"id": int(book or 0), "ratings": {"Reviewer1": 5, "Reviewer2": 4}}


serve("ratings", options.port, {"ratings": ratings})
