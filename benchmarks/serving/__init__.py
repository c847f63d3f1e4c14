"""The server under load, beside other servers, from a client that counts from the time a request was due.

Begin reading in ``__main__``: it has the phases. ``load_client`` sends, ``contestants`` start the servers.
"""
