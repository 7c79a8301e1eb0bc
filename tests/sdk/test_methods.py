"""Flows and tasks as methods, class methods and static methods."""

from __future__ import annotations

import sys

import pytest

from reeve import Flow, Task, current_run, flow, task, unmapped


class Shop:
    """A class whose methods run."""

    discount = 1

    def __init__(self, price: int) -> None:
        self.price = price

    @task
    def cost(self, count: int) -> int:
        return self.price * count

    @task(retries=1)
    @classmethod
    def reduced(cls, price: int) -> int:
        return price - cls.discount

    @task
    @staticmethod
    def tax(price: int) -> int:
        return price // 10

    @task
    async def slowly(self, count: int) -> int:
        return self.price * count

    @flow
    def sell(self, count: int = 1) -> list[int]:
        name = current_run().flow_name
        assert name == "sell"
        return [*self.cost.map([count, count + 1]).result(), self.reduced.submit(self.price).result()]

    @flow
    @classmethod
    def opening(cls, price: str) -> int:
        return cls(int(price)).cost(1)

    @flow
    @staticmethod
    def hours() -> int:
        return 8


class Cheap(Shop):
    discount = 2


def test_a_task_is_bound_to_its_instance() -> None:
    shop = Shop(5)
    assert shop.cost(2) == 10
    assert Shop.cost(shop, 2) == 10  # type: ignore[arg-type,call-arg]  # typed as a class method
    assert shop.cost.run(3).result() == 15
    assert isinstance(shop.cost, Task)
    assert Shop(7).cost(1) == 7


def test_class_and_static_methods() -> None:
    assert Shop.reduced(5) == 4
    assert Cheap.reduced(5) == 3
    assert Cheap(1).reduced(5) == 3
    assert Shop.tax(50) == Shop(1).tax(50) == 5  # type: ignore[call-arg]  # as above
    assert Shop.opening("4") == 4
    assert Shop.hours() == 8


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="classmethod does not chain any more")
def test_a_class_method_of_a_task() -> None:
    class Other:
        factor = 3

        @classmethod
        @task
        def times(cls, x: int) -> int:
            return cls.factor * x

        @staticmethod
        @task
        def twice(x: int) -> int:
            return 2 * x

    @flow
    def submits() -> list[int]:
        return [Other.times.submit(2).result(), Other().twice.submit(2).result()]

    assert submits() == [6, 4]


def test_a_bound_flow_validates_what_it_is_called_with() -> None:
    assert Shop(5).sell("2") == [10, 15, 4]  # type: ignore[arg-type]
    assert isinstance(Shop.sell, Flow)
    assert list(Shop(5).sell.parameters.signature.parameters) == ["count"]
    assert list(Shop.sell.parameters.signature.parameters) == ["self", "count"]


def test_bound_tasks_are_submitted_and_mapped() -> None:
    @flow
    def uses(shop: Shop) -> list[int]:
        return [*shop.cost.map(count=[1, 2]).result(), *shop.slowly.map(unmapped(3) and [3]).result()]

    assert uses(Shop(5)) == [5, 10, 15]
