"""reviews: what people say of the book. v1 shows no stars, v2 black ones and v3 red ones; those two ask ratings."""

from http_app import arguments, call, serve

options = arguments("reviews", 9080)
COLOUR = {"v2": "black", "v3": "red"}.get(options.version)
TEXTS = {
    "Reviewer1": "An extremely entertaining play by Shakespeare. The slapstick humour is refreshing!",
    "Reviewer2": "Absolutely fun and entertaining. The play lacks thematic depth when compared to other plays by Shakespeare.",
}


def reviews(handler, book):
    found = [{"reviewer": name, "text": text} for name, text in TEXTS.items()]
    if COLOUR:
        stars = call(f"http://ratings:9080/ratings/{book}", handler)["ratings"]
        for review in found:
            review["rating"] = {"stars": stars[review["reviewer"]], "color": COLOUR}
    return {"id": book, "version": options.version, "reviews": found}


serve(f"reviews-{options.version}", options.port, {"reviews": reviews})
