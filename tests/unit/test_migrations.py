"""What start-up relies on: the head is known without Alembic, and the steps are found from anywhere."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from chat_service import migrations
from chat_service.adapters.sql import migrate

FOLDER = Path(migrations.__file__).parent


def test_head_is_the_one_that_the_steps_lead_to() -> None:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    assert ScriptDirectory.from_config(config).get_heads() == [migrations.HEAD] == [migrate.head_revision()]


def test_head_is_known_without_importing_alembic() -> None:
    program = (
        "import sys; from chat_service.adapters.sql.migrate import head_revision; head_revision(); "
        "sys.exit('alembic' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=FOLDER.parents[1])


def test_store_is_migrated_from_any_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    migrate.upgrade("sqlite+aiosqlite:///data/metadata.db")
    assert migrate.current_revision("sqlite+aiosqlite:///data/metadata.db") == migrations.HEAD
    assert (tmp_path / "data" / "metadata.db").exists()


def test_file_is_private_and_its_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "100%" / "metadata.db"
    migrate.upgrade(f"sqlite+aiosqlite:///{path}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_asking_for_the_revision_makes_no_file(tmp_path: Path) -> None:
    assert migrate.current_revision(f"sqlite+aiosqlite:///{tmp_path / 'metadata.db'}") is None
    assert list(tmp_path.iterdir()) == []
