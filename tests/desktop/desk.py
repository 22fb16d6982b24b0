"""A desktop for one test: the tray host that a panel would be, and a window manager's hand.

Owns org.kde.StatusNotifierWatcher on the session bus (not with --no-panel), org.freedesktop.login1 on the same bus,
and speaks JSON lines: a request a line on stdin, an answer a line on stdout. Requests:

    {"do": "item"}                     has an icon registered? {"item": null | {"name", "path"}}
    {"do": "menu"}                     {"menu": [{"id", "label", "enabled", "separator"}]}
    {"do": "icon"}                     {"icon": path of the picture, "title": ...}
    {"do": "click", "label": "..."}    sends the menu's "clicked" event
    {"do": "windows"}                  {"windows": [{"id", "shown", "focused"}]} with the app's title
    {"do": "close", "id": 123}         asks a window to close, as its close button does
    {"do": "locks"}                    {"locks": [what the computer is kept from, ...]}

It knows nothing of Nightjar but the window title it is given as its argument.
"""

import ctypes
import json
import os
import select
import sys

import gi

gi.require_version("Gio", "2.0")
from gi.repository import Gio, GLib  # noqa: E402

TIMEOUT_MS = 5000

WATCHER = """
<node><interface name='org.kde.StatusNotifierWatcher'>
  <method name='RegisterStatusNotifierItem'><arg type='s' direction='in'/></method>
  <method name='RegisterStatusNotifierHost'><arg type='s' direction='in'/></method>
  <property name='RegisteredStatusNotifierItems' type='as' access='read'/>
  <property name='IsStatusNotifierHostRegistered' type='b' access='read'/>
  <property name='ProtocolVersion' type='i' access='read'/>
  <signal name='StatusNotifierItemRegistered'><arg type='s'/></signal>
  <signal name='StatusNotifierHostRegistered'/>
</interface></node>
"""


LOGIN = """
<node><interface name='org.freedesktop.login1.Manager'>
  <method name='Inhibit'>
    <arg type='s' direction='in'/><arg type='s' direction='in'/>
    <arg type='s' direction='in'/><arg type='s' direction='in'/>
    <arg type='h' direction='out'/>
  </method>
</interface></node>
"""


class Login:
    """The part of logind that keeps a computer awake: a lock lasts while its pipe is open."""

    def __init__(self, bus):
        self.taken = []
        node = Gio.DBusNodeInfo.new_for_xml(LOGIN)
        path = "/org/freedesktop/login1"
        bus.register_object(path, node.interfaces[0], self.on_call, None, None)

    def on_call(self, _bus, _sender, _path, _interface, _method, arguments, invocation):
        what, *_ = arguments.unpack()
        ours, theirs = os.pipe()
        # The list owns what it is given, and closes it when it was sent.
        pipe = Gio.UnixFDList.new_from_array([theirs])
        self.taken.append((what, ours))
        invocation.return_value_with_unix_fd_list(GLib.Variant("(h)", (0,)), pipe)

    def locks(self):
        def lasts(end):
            poll = select.poll()
            poll.register(end, select.POLLHUP)
            return not poll.poll(0)

        return sorted(what for what, end in self.taken if lasts(end))


class Tray:
    """The icons of this session; the newest one counts."""

    def __init__(self, bus):
        self.bus = bus
        self.items = []
        node = Gio.DBusNodeInfo.new_for_xml(WATCHER)
        bus.register_object(
            "/StatusNotifierWatcher", node.interfaces[0], self.on_call, self.on_get, None
        )

    def on_call(self, _bus, sender, _path, _interface, method, arguments, invocation):
        if method == "RegisterStatusNotifierItem":
            word = arguments.unpack()[0]
            # libayatana sends its object path, others send a bus name.
            item = (sender, word) if word.startswith("/") else (word, "/StatusNotifierItem")
            self.items.append(item)
        invocation.return_value(None)

    def on_get(self, _bus, _sender, _path, _interface, name):
        if name == "RegisteredStatusNotifierItems":
            return GLib.Variant("as", [name + path for name, path in self.items])
        if name == "IsStatusNotifierHostRegistered":
            return GLib.Variant("b", True)
        return GLib.Variant("i", 0)

    def call(self, path, interface, method, arguments):
        name = self.items[-1][0]
        return self.bus.call_sync(
            name, path, interface, method, arguments, None, Gio.DBusCallFlags.NONE, TIMEOUT_MS, None
        ).unpack()

    def property(self, name):
        arguments = GLib.Variant("(ss)", ("org.kde.StatusNotifierItem", name))
        path = self.items[-1][1]
        return self.call(path, "org.freedesktop.DBus.Properties", "Get", arguments)[0]

    def item(self):
        if not self.items:
            return None
        name, path = self.items[-1]
        return {"name": name, "path": path}

    def menu(self):
        path = self.property("Menu")
        self.call(path, "com.canonical.dbusmenu", "AboutToShow", GLib.Variant("(i)", (0,)))
        arguments = GLib.Variant("(iias)", (0, -1, []))
        _revision, layout = self.call(path, "com.canonical.dbusmenu", "GetLayout", arguments)
        return [
            {
                "id": number,
                "label": properties.get("label", "").replace("__", "_"),
                "enabled": properties.get("enabled", True),
                "separator": properties.get("type") == "separator",
            }
            for number, properties, _children in layout[2]
            if properties.get("visible", True)
        ]

    def click(self, label):
        number = next(entry["id"] for entry in self.menu() if entry["label"] == label)
        arguments = GLib.Variant("(isvu)", (number, "clicked", GLib.Variant("i", 0), 0))
        self.call(self.property("Menu"), "com.canonical.dbusmenu", "Event", arguments)


class Attributes(ctypes.Structure):
    """XWindowAttributes; only map_state is read."""

    _fields_ = (
        [(name, ctypes.c_int) for name in ("x", "y", "width", "height", "border", "depth")]
        + [("visual", ctypes.c_void_p), ("root", ctypes.c_ulong)]
        + [(name, ctypes.c_int) for name in ("class", "bit_gravity", "win_gravity", "backing")]
        + [("planes", ctypes.c_ulong), ("pixel", ctypes.c_ulong), ("save_under", ctypes.c_int)]
        + [("colormap", ctypes.c_ulong), ("installed", ctypes.c_int), ("map_state", ctypes.c_int)]
        + [("rest", ctypes.c_byte * 64)]
    )


class ClientMessage(ctypes.Structure):
    """XClientMessageEvent, padded to the size of an XEvent."""

    _fields_ = [
        ("type", ctypes.c_int),
        ("serial", ctypes.c_ulong),
        ("send_event", ctypes.c_int),
        ("display", ctypes.c_void_p),
        ("window", ctypes.c_ulong),
        ("message_type", ctypes.c_ulong),
        ("format", ctypes.c_int),
        ("data", ctypes.c_long * 5),
        ("rest", ctypes.c_long * 16),
    ]


class Windows:
    """The top-level windows that carry a title and can be asked to close."""

    CLIENT_MESSAGE = 33
    IS_VIEWABLE = 2

    def __init__(self, title):
        self.title = title
        self.x = ctypes.CDLL("libX11.so.6")
        for name, result in (("XOpenDisplay", ctypes.c_void_p), ("XInternAtom", ctypes.c_ulong)):
            getattr(self.x, name).restype = result
        self.x.XDefaultRootWindow.restype = ctypes.c_ulong
        self.display = ctypes.c_void_p(self.x.XOpenDisplay(None))
        if not self.display:
            raise SystemExit("no X display")
        # Windows come and go between two calls: an error about one is not ours.
        handler = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
        self.handler = handler(lambda *_: 0)
        self.x.XSetErrorHandler(self.handler)

    def atom(self, name):
        return self.x.XInternAtom(self.display, name.encode(), False)

    def children(self, window):
        root, parent = ctypes.c_ulong(), ctypes.c_ulong()
        list_, count = ctypes.POINTER(ctypes.c_ulong)(), ctypes.c_uint()
        self.x.XQueryTree(
            self.display,
            ctypes.c_ulong(window),
            ctypes.byref(root),
            ctypes.byref(parent),
            ctypes.byref(list_),
            ctypes.byref(count),
        )
        return [list_[n] for n in range(count.value)]

    def protocols(self, window):
        list_, count = ctypes.POINTER(ctypes.c_ulong)(), ctypes.c_int()
        found = self.x.XGetWMProtocols(
            self.display, ctypes.c_ulong(window), ctypes.byref(list_), ctypes.byref(count)
        )
        return [list_[n] for n in range(count.value)] if found else []

    def name(self, window):
        name = ctypes.c_char_p()
        self.x.XFetchName(self.display, ctypes.c_ulong(window), ctypes.byref(name))
        return (name.value or b"").decode("utf-8", "replace")

    def list(self):
        focused, revert = ctypes.c_ulong(), ctypes.c_int()
        self.x.XGetInputFocus(self.display, ctypes.byref(focused), ctypes.byref(revert))
        result = []
        for window in self.children(self.x.XDefaultRootWindow(self.display)):
            if self.name(window) != self.title:
                continue
            if self.atom("WM_DELETE_WINDOW") not in self.protocols(window):
                continue
            attributes = Attributes()
            self.x.XGetWindowAttributes(
                self.display, ctypes.c_ulong(window), ctypes.byref(attributes)
            )
            result.append(
                {
                    "id": window,
                    "shown": attributes.map_state == self.IS_VIEWABLE,
                    "focused": focused.value in [window, *self.children(window)],
                }
            )
        return result

    def close(self, window):
        event = ClientMessage(
            type=self.CLIENT_MESSAGE,
            window=window,
            message_type=self.atom("WM_PROTOCOLS"),
            format=32,
        )
        event.data[0] = self.atom("WM_DELETE_WINDOW")
        self.x.XSendEvent(self.display, ctypes.c_ulong(window), False, 0, ctypes.byref(event))
        self.x.XSync(self.display, False)


def answer(request, tray, windows, login):
    do = request["do"]
    if do == "item":
        return {"item": tray.item()}
    if do == "menu":
        return {"menu": tray.menu()}
    if do == "icon":
        return {"icon": tray.property("IconName"), "title": tray.property("Title")}
    if do == "click":
        tray.click(request["label"])
        return {}
    if do == "windows":
        return {"windows": windows.list()}
    if do == "close":
        windows.close(request["id"])
        return {}
    if do == "locks":
        return {"locks": login.locks()}
    return {"error": f"unknown request {do}"}


def main():
    bus = Gio.bus_get_sync(Gio.BusType.SESSION, None)
    tray = Tray(bus)
    login = Login(bus)
    Gio.bus_own_name_on_connection(bus, "org.freedesktop.login1", Gio.BusNameOwnerFlags.NONE, None, None)
    windows = Windows(sys.argv[1])
    loop = GLib.MainLoop()

    def say(value):
        sys.stdout.write(json.dumps(value) + "\n")
        sys.stdout.flush()

    def on_line(_channel, _condition):
        line = sys.stdin.readline()
        if not line:
            loop.quit()
            return False
        try:
            say(answer(json.loads(line), tray, windows, login))
        except Exception as error:  # the test decides what a failure means
            say({"error": f"{type(error).__name__}: {error}"})
        return True

    def on_name(_bus, _name):
        GLib.io_add_watch(0, GLib.IO_IN | GLib.IO_HUP, on_line)
        say({"ready": True})

    if "--no-panel" in sys.argv:
        on_name(bus, None)
    else:
        name = "org.kde.StatusNotifierWatcher"
        Gio.bus_own_name_on_connection(bus, name, Gio.BusNameOwnerFlags.NONE, on_name, None)
    loop.run()


main()
