"""Which copy of a fact is read."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from ml_models.core.authority import COLUMNS, drop_shadowed, tag_copies

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
SCHEMA = {
    **dict.fromkeys(COLUMNS, pl.String),
    "event_time": pl.Datetime("us", "UTC"),
    "quantity": pl.Int64,
}


def row(event_id, event_type, source, at=0.0, **more):
    values = dict.fromkeys(COLUMNS) | {"anonymous_id": "A", "ip_prefix": "10.0.0.0/24", "page_url": "/p/7/"}
    values |= {"event_id": event_id, "event_type": event_type, "source": source}
    return {**values, "event_time": NOON + timedelta(seconds=at), **more}


def frame(*rows):
    return pl.DataFrame(list(rows), schema=SCHEMA)


def kept(*rows, canonical=None):
    events = frame(*rows)
    found = drop_shadowed(events.lazy(), canonical).collect()
    assert found.columns == events.columns
    return "".join(found["event_id"])


def view(event_id, source, at=0.0, product="7", **more):
    return row(event_id, "product_view", source, at, product_id=product, **more)


def page(event_id, source, at=0.0, **more):
    return row(event_id, "page_view", source, at, **more)


def add(event_id, source, at=0.0, product="7", quantity=1, kind="cart_add", **more):
    return row(event_id, kind, source, at, product_id=product, quantity=quantity, **more)


# -- views with the id --------------------------------------------------------------------------------


def test_copies_go_where_the_trackers_row_arrived():
    far = {"at": 500}  # nothing below is near enough to be paired by time
    assert (
        kept(
            page("a", "js", page_view_id="v1"),
            page("b", "middleware", page_view_id="v1"),  # a copy of a
            view("c", "middleware", page_view_id="v1"),  # the tracker sent no product view of v1
            view("d", "js", 100, page_view_id="v2"),
            view("e", "middleware", 100, page_view_id="v2"),  # a copy of d
            view("f", "server", 100, page_view_id="v2"),  # a copy of d
            page("g", "middleware", 200, page_view_id="v3"),  # no script ran
            page("h", "middleware", 300),
            view("j", "js", 400, page_view_id="v2"),  # a second view under one id: rows of the tracker all count
            view("k", "import", 500),
            page("l", "js", 600),
            view("m", "server", 100, "8", page_view_id="v2"),  # the script told of product 7 alone
            row("n", "click", "js", **far),
        )
        == "acdghjklmn"
    )


def test_rows_keep_their_order():
    rows = [page(letter, "middleware", page_view_id=letter) for letter in "zyxwvu"]
    assert kept(*rows, page("a", "js", page_view_id="w")) == "zyxvua"


def test_a_variants_view_is_that_of_its_product():
    rows = [view("a", "js", product="7-blue", page_view_id="v"), view("b", "server", product="7", page_view_id="v")]
    assert kept(*rows) == "ab"
    assert kept(*rows, canonical={"7-blue": "7"}) == "a"


# -- views whose id a proxy took away -----------------------------------------------------------------


def lost(event_id, source, at=0.0, **more):
    """Each side has an id of its own."""
    return page(event_id, source, at, page_view_id=f"{source}-{event_id}", **more)


def test_without_the_id_a_view_is_found_by_visitor_page_and_time():
    assert kept(lost("a", "middleware", 0), lost("b", "js", 0.4)) == "b"


@pytest.mark.parametrize(
    ("what", "other"),
    [
        ("another page", {"page_url": "/p/8/"}),
        ("another visitor", {"anonymous_id": "B"}),
        ("too late", {"at": 11}),
        ("too early", {"at": -2}),
    ],
)
def test_what_differs_is_another_view(what, other):
    assert kept(lost("a", "middleware"), lost("b", "js", **{"at": 0.4, **other})) == "ab"


def test_two_views_stay_two():
    twice = [lost("a", "middleware", 0), lost("b", "middleware", 0.5), lost("c", "js", 0.9), lost("d", "js", 1.2)]
    assert kept(*twice) == "cd"
    # In one of two tabs the script did not run.
    assert kept(*twice[:3]) == "bc"
    # Back from the browser's own cache: the server never knew.
    assert kept(twice[0], lost("c", "js", 0.9), lost("d", "js", 1.2)) == "cd"


def test_clocks_may_differ_a_little():
    assert kept(lost("a", "js", -0.6), lost("b", "middleware", 0)) == "a"


def test_the_query_and_the_spelling_of_a_path_do_not_matter():
    rows = [lost("a", "middleware", page_url="/kaffee/größe/?page=2"), lost("b", "js", 0.4)]
    rows[1]["page_url"] = "/kaffee/gr%C3%B6%C3%9Fe/?utm_source=x"
    assert kept(*rows) == "b"


def test_the_first_page_of_a_visitor_who_had_no_id_yet():
    first = lost("a", "middleware", anonymous_id=None)
    assert kept(first, lost("b", "js", 0.4)) == "b"
    assert kept(first, lost("b", "js", 0.4, ip_prefix="10.9.9.0/24")) == "ab"
    # Two newcomers behind one address.
    second = lost("c", "middleware", 0.2, anonymous_id=None)
    assert kept(first, second, lost("b", "js", 0.4), lost("d", "js", 0.5, anonymous_id="B")) == "bd"


def test_the_page_after_a_login_has_the_user_and_a_new_id():
    rows = [
        lost("a", "middleware", anonymous_id="A", user_id="5"),
        lost("b", "js", 0.4, anonymous_id="B", user_id="5"),
    ]
    assert kept(*rows) == "b"


def test_the_page_after_a_login_that_still_had_the_guests_cookie():
    page = lost("a", "middleware", anonymous_id="A", user_id=None)
    assert kept(page, lost("b", "js", 0.4, anonymous_id="B", user_id="5")) == "b"
    # A user on the same network stands for the guest's page only where no page of his own is there.
    own = lost("c", "middleware", 0.1, anonymous_id="B", user_id="5")
    assert kept(page, own, lost("b", "js", 0.4, anonymous_id="B", user_id="5")) == "ab"
    assert kept(page, lost("b", "js", 0.4, anonymous_id="B", user_id=None)) == "ab"


def test_the_page_before_a_logout_whose_events_came_after_it():
    page = lost("a", "middleware", anonymous_id="A", user_id="5")
    assert kept(page, lost("b", "js", 0.4, anonymous_id="B", user_id=None)) == "b"
    # A guest on the same network has pages of his own.
    own = lost("c", "middleware", 0.1, anonymous_id="B", user_id=None)
    assert kept(page, own, lost("b", "js", 0.4, anonymous_id="B", user_id=None)) == "ab"
    assert kept(page, lost("b", "js", 0.4, anonymous_id="B", user_id="6")) == "ab"


def test_a_page_opened_again_soon_after_a_logout_is_two_views():
    user = {"anonymous_id": "A", "user_id": "5"}
    before = [lost("a", "middleware", 0, **user), lost("b", "js", 0.2, anonymous_id="B", user_id=None)]
    after = [lost("c", "middleware", 7, anonymous_id="B", user_id="5"), lost("d", "js", 7.2, **user)]
    assert kept(*before, *after) == "bd"


def test_a_product_view_is_found_by_its_product():
    rows = [
        view("a", "server", page_url="/api/quick-look/", page_view_id="1"),
        view("b", "js", 0.4, page_url="/", page_view_id="2"),
    ]
    assert kept(*rows) == "b"
    assert kept(rows[0], {**rows[1], "product_id": "8"}) == "ab"


# -- the cart -----------------------------------------------------------------------------------------


def test_the_servers_change_counts_and_the_scripts_is_an_intent():
    events = frame(add("a", "js", 0), add("b", "server", 0.3), add("c", "server", 60), add("d", "js", 60.5))
    tagged = tag_copies(events.lazy()).collect()
    assert dict(tagged.select("event_id", "authority").rows()) == {
        "a": "intent",
        "b": "fact",
        "c": "fact",
        "d": "intent",
    }


def test_a_shop_that_wires_removals_alone_keeps_the_scripts_additions():
    assert (
        kept(
            add("a", "js", 0),
            add("b", "js", 1),
            add("c", "js", 5, kind="cart_remove"),
            add("d", "server", 5.2, kind="cart_remove"),
        )
        == "abd"
    )


@pytest.mark.parametrize(
    ("what", "other"),
    [
        ("another product", {"product_id": "8"}),
        ("another quantity", {"quantity": 3}),
        ("another visitor", {"anonymous_id": "B"}),
        ("another kind", {"event_type": "cart_remove"}),
        ("another time", {"event_time": NOON + timedelta(seconds=30)}),
    ],
)
def test_what_differs_is_another_change(what, other):
    assert kept(add("a", "server"), {**add("b", "js", 0.5), **other}) == "ab"


def test_a_script_that_names_no_quantity_means_the_servers():
    assert kept(add("a", "server", quantity=3), add("b", "js", 0.5, quantity=None)) == "a"


def test_two_changes_stay_two():
    assert kept(add("a", "server", 0), add("b", "js", 0.2), add("c", "server", 1), add("d", "js", 1.2)) == "ac"
    assert kept(add("a", "server", 0), add("b", "js", 0.2), add("d", "js", 1.2)) == "ad"
    # Of different quantities, each finds its own.
    assert kept(add("a", "server", quantity=1), add("b", "server", quantity=2), add("c", "js", 1, quantity=2)) == "ab"


def test_a_variant_in_the_cart_is_its_product():
    rows = [add("a", "server", product="7"), add("b", "js", 0.2, product="7-blue")]
    assert kept(*rows, canonical={"7-blue": "7"}) == "a"


def test_nothing_in_nothing_out():
    assert kept() == ""
