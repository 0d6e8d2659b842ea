"""What the pages show: functions from a connection and the filters to a table. They know nothing of Streamlit."""
