"""Jobs: what is known of each picture on its way, and who moves it on."""
