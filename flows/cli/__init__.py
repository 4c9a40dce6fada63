"""The `foveal` command, one file for each group of commands."""

import sys


def start() -> None:
    """Run the command; where its imports fail, name the distribution that overwrote one of its packages, if one did."""
    try:
        from flows.cli.main import main
    except ImportError:
        from flows.doctor.finding import State
        from flows.doctor.versions import examine_packages

        wrong = [finding for finding in examine_packages() if finding.state is State.FAIL]
        if not wrong:
            raise
        sys.exit("\n".join(f"error: {finding.name}: {finding.found}; {finding.hint}" for finding in wrong))
    main()
