"""The attacks of `attack_load.py` with few attackers: nothing but the attacker is refused. Times are not asked for."""

import attack_load
import pytest
from conftest import BINARY, POSTGRES

# What must be among the answers to the attackers.
REFUSED = {"idle": "stayed open", "like": "12000 letters: 400", "pages": "200 with", "basic": "429"}


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
@pytest.mark.parametrize("name", attack_load.ATTACKS)
def test_others_are_served_under_attack(name, engine):
    if engine == "postgres" and not POSTGRES:
        pytest.skip("STAGEGATE_TEST_POSTGRES_URL is not set")
    row = attack_load.attack(str(BINARY), engine, name, attack_load.SMALL, 3)
    assert row["during"] and not row["refused"], attack_load.shown(row)
    told = [str(outcome) for outcome in row["attacker"]]
    assert any(REFUSED.get(name, "") in outcome for outcome in told), attack_load.shown(row)
    _, most, _ = row["memory"]
    assert most < 400, attack_load.shown(row)
