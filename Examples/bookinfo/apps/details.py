"""details: what kind of book it is."""

from http_app import arguments, serve

options = arguments("details", 9080)


def details(handler, book):
    return {
        "id": int(book or 0), "author": "William Shakespeare", "year": 1595, "type": "paperback", "pages": 200, "publisher": "PublisherA",
        "language": "English", "ISBN-10": "1234567890",
    }


serve("details", options.port, {"details": details})
