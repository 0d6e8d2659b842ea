"""What is landed only if it is not there yet, as polls are."""

from datetime import date

import obstore

DAY = date(2026, 1, 31)


def test_the_first_one_stays(landing):
    assert landing.put_new("shop/orders", DAY, "a.json", b"first")
    assert not landing.put_new("shop/orders", DAY, "a.json", b"second")
    assert landing.put_new("shop/orders", DAY, "b.json", b"")
    [first, other] = landing.listing("shop/orders", date(2026, 1, 1)).objects
    assert (b"".join(landing.read(first)), other.name, other.size) == (b"first", "b.json", 0)
    obstore.delete(landing.root.store, first.path)
    assert landing.put_new("shop/orders", DAY, "a.json", b"third")
