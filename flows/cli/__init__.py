"""The `foveal` command, one file for each group of commands."""

import sys


def start() -> None:
    """Run the command; if imports fail, name a distribution that overwrote one of its packages."""
    try:
        from flows.cli.main import main
    except ImportError:
        from flows.doctor.finding import State
        from flows.doctor.versions import examine_packages

        wrong = [finding for finding in examine_packages() if finding.state is State.FAIL]
        if not wrong:
            raise
        sys.exit(
            "\n".join(
                f"error: {finding.name}: {finding.found}; {finding.hint}" for finding in wrong
            )
        )
    main()
