"""All cases of all rules."""

from tests.lint import cases_files, cases_host, cases_sampling

CASES = (*cases_files.CASES, *cases_sampling.CASES, *cases_host.CASES)
