"""Where jobs are kept: nothing is said to be done before it is durable."""
