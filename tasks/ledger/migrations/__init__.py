"""How the tables of the ledger came to be, one module per step in `versions`, carried out by Alembic.

A new step is a module `versions/0002_what_it_does.py` like the ones that are there. Change `tables.py` along with it,
and `VERSION` in `schema.py`: a test compares what the steps make with the tables. A step that has been released is
never edited.
"""
