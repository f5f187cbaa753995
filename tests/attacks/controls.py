"""What is not defended: a model's own package does what the checkpoint tells it to.

``docs/trust.md`` says so. These also show that the laboratory notices what happens.
"""

from __future__ import annotations

from tests.attacks.checkpoints import Attack, call, module, structure

SING = {"$function": "ours.net:sing"}

CONTROLS = {
    "a constructor that calls a function of its own package": call(args=[SING, "owned"]),
    "a constructor that calls one through a partial": call(
        args=[{"$partial": [SING, ["owned"], {}]}]
    ),
    "a constructor that calls an object of its own package": call(
        args=[{"$object": 0}], objects=[{"class": "ours.net:Trap", "attributes": {}}]
    ),
    "a forward that is another function, run by the example": structure(
        module(attributes={"forward": {"$partial": [SING, ["owned"], {}]}})
    ),
}


def attacks() -> list[Attack]:
    """Return what is allowed; each is heard."""
    return [Attack(name, change, (), ("load_model",)) for name, change in CONTROLS.items()]
