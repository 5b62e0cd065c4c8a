"""The controllers: clients of the API that make what is true follow what is wanted."""
