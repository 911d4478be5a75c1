"""The endurance run: the service is attacked for half an hour, and every promise has to hold."""
