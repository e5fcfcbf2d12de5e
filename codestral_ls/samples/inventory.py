"""A small stock-keeping module: the sample that `codestral-ls demo` types when no file is named."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """One line of the stock list. `price` is in cents."""

    name: str
    price: int
    quantity: int = 0


class Inventory:
    """What is in stock, by name."""

    def __init__(self) -> None:
        self._items: dict[str, Item] = {}

    def add(self, item: Item) -> None:
        """Puts an item into stock, or more of one that is there."""
        known = self._items.get(item.name)
        if known is not None:
            item = Item(item.name, item.price, known.quantity + item.quantity)
        self._items[item.name] = item

    def remove(self, name: str, quantity: int = 1) -> Item:
        """Takes `quantity` of an item out of stock. Raises KeyError if there are not so many."""
        known = self._items[name]
        if known.quantity < quantity:
            raise KeyError(f"only {known.quantity} of {name} left")
        self._items[name] = Item(name, known.price, known.quantity - quantity)
        return self._items[name]

    def total(self) -> int:
        """What everything in stock is worth, in cents."""
        return sum(item.price * item.quantity for item in self._items.values())

    def report(self) -> str:
        """The stock as text, one line an item, the dearest first."""
        ordered = sorted(self._items.values(), key=lambda item: -item.price)
        return "\n".join(f"{item.name:<20} {item.quantity:>4} x {item.price / 100:.2f}" for item in ordered)
