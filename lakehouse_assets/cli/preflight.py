"""What a command checks before it begins."""

from lakehouse_assets.settings import Settings
from lakehouse_assets.store.preflight import check_readable, check_there, check_writable


def preflight(settings: Settings, *, writes: bool = False, creates: bool = False) -> Settings:
    """Check that the root can be used, and return the settings. The root may be missing only if the command `creates` it."""
    if not creates:
        check_there(settings.root)
    check_readable(settings.root)
    if writes:
        check_writable(settings.root)
    return settings
