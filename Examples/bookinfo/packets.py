"""Reads a packet capture (pcap, Ethernet) and says what is in it."""

import ipaddress
import struct
from collections import Counter


class Packets:
    """Who talked to whom on which port, and the payload of all of it."""

    def __init__(self, path):
        self.count = 0
        self.tcp, self.udp = Counter(), Counter()
        self.payloads = []
        # TCP ports that somebody opened a connection to.
        self.opened = Counter()
        with open(path, "rb") as file:
            data = file.read()
        if len(data) < 24:
            return
        order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
        offset = 24
        while offset + 16 <= len(data):
            length = struct.unpack(order + "I", data[offset + 8:offset + 12])[0]
            self._frame(data[offset + 16:offset + 16 + length])
            offset += 16 + length

    def _frame(self, frame):
        self.count += 1
        kind = int.from_bytes(frame[12:14], "big")
        if kind == 0x0800:
            header = (frame[14] & 15) * 4
            protocol, packet = frame[23], frame[14 + header:14 + int.from_bytes(frame[16:18], "big") or None]
            ends = ipaddress.ip_address(frame[26:30]), ipaddress.ip_address(frame[30:34])
        elif kind == 0x86DD:
            protocol, packet = frame[20], frame[54:]
            ends = ipaddress.ip_address(frame[22:38]), ipaddress.ip_address(frame[38:54])
        else:
            return
        if protocol not in (6, 17) or len(packet) < 8:
            return
        source, target = struct.unpack(">HH", packet[:4])
        if protocol == 17:
            self.udp[min(source, target)] += 1
            self.payloads.append(packet[8:])
            return
        # The lower port is the server's: those of clients are above 32767.
        self.tcp[min(source, target)] += 1
        if packet[13] & 0x12 == 0x02:
            self.opened[(str(ends[0]), str(ends[1]), target)] += 1
        self.payloads.append(packet[(packet[12] >> 4) * 4:])

    def containing(self, *needles):
        """How many packets have any of these bytes in them, whatever the case."""
        needles = [needle.lower() for needle in needles]
        return sum(1 for payload in self.payloads if any(needle in payload.lower() for needle in needles))

    def tls_records(self):
        """How many packets begin with a TLS record (handshake or application data)."""
        return sum(1 for payload in self.payloads if payload[:2] in (b"\x16\x03", b"\x17\x03"))
