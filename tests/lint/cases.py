"""All cases of all rules."""

from tests.lint import cases_files, cases_host, cases_prompts, cases_sampling, cases_wrapper

CASES = (
    *cases_files.CASES,
    *cases_sampling.CASES,
    *cases_prompts.CASES,
    *cases_host.CASES,
    *cases_wrapper.CASES,
)
