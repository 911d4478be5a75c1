"""What a client may put on the helper's socket: requests, near misses and noise."""

import json

from hypothesis import strategies as st

from .nvml.simulated import uid

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)
verbs = st.sampled_from(
    ["status", "work", "rest", "apply", "reset", "enable", "soaked", "trouble", "", "stock"]
)
frames = (
    st.binary(max_size=200)
    | json_values.map(lambda value: json.dumps(value).encode())
    | st.fixed_dictionaries(
        {"do": verbs},
        optional={
            "card": st.just(uid(0)) | json_values,
            "profile": st.just("baseline") | json_values,
            "seconds": st.floats() | json_values,
            "kind": st.just("output") | json_values,
            "sentence": st.text(max_size=600) | json_values,
            "more": json_values,
        },
    ).map(lambda value: json.dumps(value).encode())
)
