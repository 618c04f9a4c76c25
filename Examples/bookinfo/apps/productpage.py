"""productpage: the page of one book, put together from details and reviews."""

import html
import urllib.error

from http_app import arguments, call, serve

options = arguments("productpage", 9080)


def gather(handler):
    return {
        "details": call("http://details:9080/details/0", handler),
        "reviews": call("http://reviews:9080/reviews/0", handler),
    }


def api(handler, rest):
    return gather(handler)


def page(handler, rest):
    try:
        book = gather(handler)
    except urllib.error.URLError as error:
        return f"<h1>Sorry</h1><p>{html.escape(str(error))}</p>"
    details, reviews = book["details"], book["reviews"]
    rows = "".join(
        f"<blockquote><p>{html.escape(review['text'])}</p><small>{review['reviewer']} {stars(review)}</small></blockquote>"
        for review in reviews["reviews"])
    return (
        "<!doctype html><title>The Comedy of Errors</title><h1>The Comedy of Errors</h1>"
        f"<p>{details['author']}, {details['year']}, {details['pages']} pages</p>{rows}<p>reviews {reviews['version']}</p>")


def stars(review):
    rating = review.get("rating")
    return f"<span style='color:{rating['color']}'>{'★' * rating['stars']}</span>" if rating else ""


serve("productpage", options.port, {"productpage": page, "api": api})
