"""A head on another machine: relays that carry a driver's messages over zmq + CURVE.

    driver's Client ── Unix socket ── Tunnel ══ tcp, zmq + CURVE ══ Gateway ── Unix socket ── head

Client and head speak as if they were on one machine, and know nothing of the relays. These carry
the frames (stream.py: none lost, none twice, whatever becomes of the connection), and the large
objects beside them (outbox.py, places.py), which they lay where the other side looks for them.
Only these modules import zmq.

    stream.py       the reliable stream, sans-IO        outbox.py     what goes next, sans-IO
    packets.py      what is in the stream               places.py     where objects lie
    gateway.py      beside the head (visitor.py: each   tunnel.py     beside the driver
                    driver there)                       progress.py   bars of what takes long
    zap.py          who is let in                       address.py    the connection file
    ssh.py          a head started over ssh             way.py        the tunnel's socket
    attaching.py    how a driver gets its tunnel
"""
