/// The name of a kind of complaint: the same in status, doctor and documents, for ever.
enum FindingID: String, CaseIterable {
  // Status
  case PCMK1, SERV0, SERV1, HALF1, SHUT1, DOWN1, MAINT1, NODE1, NODE2, NODE3, MEMB1, SCORE1, BARRED1, BAN1, UNFIT1, LATELY1, RISK1, PATH1, WALL1, SIDE1
  case GATE1, SPLT1, DRIFT1, DRIFT2, DRIFT3, DRIFT4, DRIFT5, SIM1, SIM2, QUOR1, LOOK1, LOOK2, ASKS1, VERS1, BOTH1, WAY1, PCMK2
  // Status and doctor
  case FENCE1, FENCE2, FENCE3, FENCE4, QUOR2
  // Doctor: the cluster
  case CIB1, COLO1, COLO2, COLO3, COLO4, BAR1, BAR2, BAR3, MON1, MON2, MON3, MON4, RACE1, DELAY1, DELAY2, QUOR3, RING1, CLEAR1, CLONE1, CLONE2, NOTIFY1, GATE2, PASS1
  case ALERT1, MOVED1, ADDR1, PROBE1
  // Doctor: the node
  case UNIT1, UNIT2, ROTA1, FORWARD1, RPF1, PPP1, L2TP1, XL1, XL2, SWAN1, SWAN2, PSK1, LOCAL1, MODE1, TRACK1, TRACK2, LOCK1, HA1, HA2, HA3, KEY1, KEY2, CERT1
  case RESTART1, UPGRADE1, PORT2, XL3, XL4, PPP2, PPP3, PPP4, PPP5, PPP6, USER1, FORWARD2, UNIT3, CLOCK1, FLOOD1, TRACK3, FILTER1
  case MON5, OFF1, QUOR4, QUOR5, QUOR6, RING2, RING3, TWO1, CLONE3, ORDER1
  case SWAN4, SWAN5, XL5, XL6, PPP7, USER3, USER4, XFRM1, TRACK4, BOOT1, FILTER3, MON6, FENCE6, ORDER2, WALL3, ADDR2
  case FENCE5, PREFER1, CLONE4, CLONE5, BIND1, UTIL1, WALL2, STOP1, TIME1, RING4, RING5, QUOR7, CERT2, SWAN3, USER2, MTU1, CLOCK2, UPGRADE2, FILTER2, HA4, HA5
  // Check
  case START1, START2, START3, PORT1
  // Sessions
  case AUTH1, AUTH2, AUTH3, AUTH4, AUTH5, AUTH6, AUTH7, AUTH8, AUTH9, AUTH10, AUTH11, AUTH12, AUTH13
  // Plan
  case GAP1, HOLLOW1

  /// One sentence: what it does to the service.
  var why: String { page.why }
  /// What to do about it, beyond the command.
  var remedy: String { page.remedy }

  private var page: (why: String, remedy: String) {
    switch self {
    case .PCMK1:
      (
        "Only Pacemaker knows who serves; without its answer nothing can be said about the service.",
        "Start the cluster on this node, or ask on another node. A node without Pacemaker takes nothing over."
      )
    case .SERV0:
      ("Nothing keeps a VPN alive here.", "Create the resources as the README's recipe does.")
    case .SERV1:
      ("No client can connect.", "Read the findings below this one: they say what keeps each node from serving. Mend those, then clean up.")
    case .HALF1:
      ("Clients reach the address and get no VPN from it.", "The member that does not serve failed, or something it follows is missing. crm_mon -1rf shows its last failure.")
    case .SHUT1:
      ("Who is connected stays so; whoever dials in now gets no VPN.", "Mend what the agent names; it is looked at again within about a minute. Where the other node would take over, vpnha switchover serves clients meanwhile.")
    case .GATE1:
      ("Its share of the clients is on the others, and what those lose has one place less to go.", "The last failure says why it does not run: mend that, then clean up. Clients come to it again as soon as its balancer has started.")
    case .GATE2:
      (
        "The director sends clients to a gateway that does not run, or none to one that does: it learns by notifications, and by where its members are started.",
        "Bind the balancer to the gateways, start it after them, and let it be notified, as the recipe does."
      )
    case .DOWN1:
      ("Part of the service is broken where it is served.", "Pacemaker recovers a failed member by itself. One that is blocked waits for you: mend the cause, then clean up.")
    case .MAINT1:
      ("Nothing that dies now is noticed, restarted or taken over.", "End it when the work is done.")
    case .NODE1:
      ("One node alone has nobody to take over from it.", "Bring the node back: power, network, then Pacemaker.")
    case .NODE2:
      ("A node in standby runs nothing, so it takes nothing over.", "End the standby when the work on it is done.")
    case .NODE3:
      ("An unhealthy node runs nothing, so it takes nothing over.", "Mend what its health agent complains of; the attribute that it set by hand, delete by hand.")
    case .MEMB1:
      ("A node takes over only with every member of the group.", "The last failure says why it does not run: mend that, then clean up. Without one, a constraint keeps it from running: the scores say on which node.")
    case .SCORE1:
      ("Pacemaker promotes no member without a promotion score.", "The agent tells it at its next monitor. If the finding stays for a minute, have the scores told again, which are lost where the node's controller started again; else let Pacemaker look again.")
    case .BARRED1:
      ("A barred node does not take the service over.", "It ends by itself when failure-timeout is over. If the cause is mended, a cleanup ends it now.")
    case .BAN1:
      ("A constraint of -INFINITY holds until somebody removes it.", "Names that begin with cli- were left by a move or a ban: clear them.")
    case .UNFIT1:
      ("The cluster would choose this node, and clients would get no service from it.", "The agent says what is missing. The next deep monitor, within about a minute, sees that it is mended.")
    case .LATELY1:
      ("A member that failed within the last minute is a worse candidate.", "Nothing to do. It is as good as before after a minute of health.")
    case .RISK1:
      ("It works now and may not for long.", "The agent says what to mend. The finding goes when the next monitor of that depth sees it mended.")
    case .PATH1:
      ("A node that reaches nobody serves nobody.", "Look at the node's uplink, its next hop and the targets of the probe.")
    case .WAY1:
      ("Clients from beyond its own networks would get no answer from that node.", "Give it the route that the other one has, now and where its network is configured.")
    case .PCMK2:
      (
        "A daemon of Pacemaker's that does nothing lets its node take nothing over, or late: Pacemaker ends it after half a minute, and starts it again.",
        "Have it go on, or restart Pacemaker on that node while the other one serves."
      )
    case .WALL1:
      ("Without its rules a node may not serve, or serves in clear text.", "The last failure says why it does not run. Mend that, then clean up.")
    case .SIDE1:
      ("What it does for the VPN is missing on that node.", "The last failure says why it does not run. Mend that, then clean up.")
    case .BOTH1:
      ("One node carries the clients of both addresses. Its loss would end all sessions, not half of them.", "Move the address when its clients can do without for some seconds. It goes by itself in the hour that the recipe names.")
    case .SPLT1:
      (
        "What the other node has told is made use of in a promotion only: flows are committed, clients of lost sessions are told.",
        "Move it to the VPN's node, and let doctor look at the colocation that should have done it."
      )
    case .DRIFT1:
      ("After a take-over other rules would hold.", "Compare the parameters, the extra file and the version of vpnha on both nodes.")
    case .DRIFT2:
      (
        "After a take-over other users, keys or addresses would hold.",
        "Find out which file is the right one, copy it, and load it on that node. Comments and lines that are a node's own do not count."
      )
    case .DRIFT3:
      ("What is loaded, and not what the file says, decides after a take-over.", "Load it again on the node that is behind; the files may be the same.")
    case .DRIFT4:
      ("charon's ha plugin and Pacemaker want the same version on both nodes; two of them are for the time of an upgrade.", "Upgrade the other node, in standby.")
    case .DRIFT5:
      ("Digests of files with secrets need a secret that both nodes have.", "corosync-keygen makes /etc/corosync/authkey, which pcs does by itself; both nodes need the same one.")
    case .AUTH1:
      ("The password is not the one in chap-secrets, or RADIUS said no.", "The client has to type it again; if it is right, compare chap-secrets on both nodes.")
    case .AUTH2:
      ("No line of chap-secrets is for this user and this server name.", "Add the user, on both nodes. The second column is the name of xl2tpd.conf.")
    case .AUTH3:
      ("The client's pre-shared key is not the gateway's, so that neither can read the other.", "Set the client's pre-shared key, or compare the secrets section of swanctl.conf.")
    case .AUTH4:
      ("No proposal of the client is in the connection's.", "charon's log has both lists. Add what the client can do to proposals or esp_proposals, if it is safe.")
    case .AUTH5:
      ("No connection is for this address and identity.", "Compare local_addrs, remote_addrs and id in swanctl.conf with what charon's log says it looked for.")
    case .AUTH6:
      ("charon takes so many clients behind one address for an attack.", "Take the thresholds of the example in /usr/share/doc/vpnha/examples/strongswan.")
    case .AUTH7:
      ("The client did not go on: our answers do not reach it, or it gave up.", "Look for a firewall on its way that drops UDP 4500 or fragments.")
    case .AUTH8:
      ("IPsec is up and L2TP goes unanswered.", "The client's NAT or firewall drops it, or the answer leaves from another address: see listen-addr of xl2tpd.conf.")
    case .AUTH9:
      ("Every address of the pool is in use.", "Make ip range of xl2tpd.conf larger, or end sessions that are left over.")
    case .AUTH10:
      ("The user asks for an address that chap-secrets does not allow.", "Set the client to take the address it is given, or change the fourth column of chap-secrets.")
    case .AUTH11:
      ("The RADIUS server does not answer, so nobody gets in.", "Look at the server, its secret and the way to it; the agent probe can watch it.")
    case .AUTH12:
      ("pppd ends at once, for everybody.", "The line says which option or file it is.")
    case .AUTH13:
      ("The certificate or signature of one end is not accepted by the other.", "Look at the dates and the CA; swanctl --list-certs shows them.")
    case .SIM1:
      ("Without Pacemaker's scheduler the answer would be a guess.", "Install pacemaker-cli-utils, or run the command by hand and read what it says.")
    case .SIM2:
      ("Pacemaker's scheduler, asked about this very loss, leaves the service stopped.", "Run the command; with -s it also shows the scores. Look at constraints and at what the group depends on.")
    case .LOOK1:
      (
        "What a standby has not been able to see yet, keys that are missing for instance, nobody can know.",
        "The first deep monitor comes right after the start, the next ones every minute. If there is none, add one. On the node itself status looks for itself."
      )
    case .LOOK2:
      ("A daemon that is down on the standby is restarted first, and a take-over waits for that, or fails with it.", "Pacemaker restarts it at its next monitor. If the finding stays, the command says why it does not work.")
    case .ASKS1:
      (
        "A refresh has Pacemaker forget what runs, and ask every node again. A second one on top of it loses answers that are on their way: Pacemaker waits for them up to 80 seconds, or 30 with cluster-delay=10s, and restarts, promotes and fences nothing in that time.",
        "Wait until it is over. What runs goes on running. Refresh once, and one resource instead of all."
      )
    case .VERS1:
      ("Two versions that share a cluster are meant for the time of an upgrade only.", "Upgrade the other node, in standby.")
    case .QUOR1:
      ("A part of the cluster without quorum stops its resources.", "Bring back enough nodes, or the quorum device.")
    case .FENCE1:
      ("Without fencing two nodes that lose sight of each other both serve, with the same address.", "Configure a fence device for each node, test it, then switch fencing on.")
    case .FENCE2:
      ("Pacemaker takes nothing over from a node until it is fenced, so with no device it waits for ever.", "Create a device that ends that node, and test it: pcs stonith fence NODE, in a maintenance window.")
    case .FENCE3:
      ("A device that cannot be reached now will hardly end a node later, and nothing is taken over until it has.", "Look at its address, its account and the network to it.")
    case .FENCE4:
      ("Nothing of a lost node is taken over until it is fenced.", "Look why the fence device does not answer. Only if you are certain that the node is off, confirm it by hand.")
    case .QUOR2:
      ("With two votes and no special rule a majority is two: the loss of one node stops the other.", "Add two_node: 1, or better a quorum device, to the quorum section of corosync.conf.")
    case .CIB1:
      ("Without the cluster's configuration only this node can be looked at.", "Run doctor on a node of the cluster, as root.")
    case .COLO1:
      (
        "Between two promoted roles a finite score counts as a millionth of itself, so 1000 is worth one point, and what should follow the VPN stays where it is.",
        "Use INFINITY with influence=false: conntrackd and sessions follow the VPN and never drag it."
      )
    case .COLO2:
      ("With INFINITY alone a follower that fails takes the VPN with it to the other node.", "Add influence=false.")
    case .COLO3:
      ("It is promoted anywhere, and makes use of what the peer has told only where it is promoted.", "Bind its promoted role to the VPN's.")
    case .COLO4:
      (
        "Pacemaker 3 adds a mandatory colocation of a group's promoted role to its promotion score. Beside INFINITY nothing counts any more: no planned move, no lost path, no failure.",
        "Bind the resource without a role, as the recipe does. The two commands do not interrupt the service."
      )
    case .BAR1:
      ("One failure bars a node until somebody cleans up, and the second one leaves nobody to serve.", "Set failure-timeout to 30s.")
    case .BAR2:
      ("Two failures within that time, one on each node, leave nobody to serve until it is over.", "Set failure-timeout to 30s, and no migration-threshold: what failed lately has a lower score anyway, and bars nobody.")
    case .BAR3:
      ("A failed start keeps it off that node until somebody cleans up, long after the cause is mended.", "Set failure-timeout to 30s.")
    case .MON1:
      ("Pacemaker notices a failure only through a monitor, and each role of a promotable clone needs its own.", "Add the missing monitor, with an interval that no other one of the resource has.")
    case .MON2:
      ("Pacemaker keeps one operation for each name and interval: one of the two does not run.", "Give one of them another interval.")
    case .MON3:
      ("A deep look finds what a quick one cannot: missing keys, a daemon that answers nobody, a peer that is not in step.", "Add a monitor with OCF_CHECK_LEVEL=10.")
    case .MON4:
      ("A standby is looked at twice as often as needed.", "Remove the monitor without a role: the two with a role do its work.")
    case .RACE1:
      ("When the link between the nodes breaks, both fence at the same moment and may both lose.", "Give the serving node a head start: priority-fencing-delay, and a priority for the VPN.")
    case .DELAY1:
      ("The delay is waited for at every real death of the serving node as well.", "It is the price of the serving node winning a split. 2 or 3 s do where both sides notice within a second.")
    case .DELAY2:
      ("priority-fencing-delay weighs the priorities of what runs on a node; without any it does nothing.", "Give the VPN a priority.")
    case .QUOR3:
      ("Without a third vote a split is decided by who fences first.", "A quorum device on a third machine decides it by votes.")
    case .RING1:
      ("With one link between the nodes a single cable decides that a node is dead.", "Add a second link (ring1_addr).")
    case .CLEAR1:
      ("Nothing keeps L2TP to IPsec, so the gateway answers it in clear text as well.", "Add the firewall resource of the README. With rules of your own, check that UDP 1701 is dropped outside IPsec, and use --skip CLEAR1.")
    case .CLONE1:
      ("A node without its own instance has no rules, or knows nothing of its path, when it is needed.", "Make it a clone.")
    case .CLONE2:
      ("Without interleave an instance waits for those on other nodes, and what happens to one node stops the other.", "Set interleave=true.")
    case .NOTIFY1:
      ("Each notification is one more action before and after every promotion; these agents do not use it.", "Set notify=false.")
    case .PASS1:
      ("Whoever may read the cluster's configuration reads the password.", "Put it into a file on both nodes, and change the password.")
    case .ALERT1:
      ("Nobody is told when the service moves.", "Add the alert agent of the README.")
    case .MOVED1:
      ("A constraint that a move left behind decides where the service goes after the next failure.", "Clear it.")
    case .ADDR1:
      ("A daemon that is bound to another address answers nobody at the one that moves.", "Give it the address of the vip resource.")
    case .PROBE1:
      ("The probe's verdict moves nothing unless a rule uses its attribute.", "Add the location rule of the README.")
    case .UNIT1:
      ("At boot the unit starts before the cluster does, and the cluster's own daemon finds its ports taken.", "Disable it, and leave the daemon to the cluster.")
    case .UNIT2:
      ("A daemon that the cluster did not start keeps the ports from the one that it will start.", "Stop it, and see that nothing starts it again.")
    case .ROTA1:
      ("A restart empties conntrackd's tables, on both nodes in the same night.", "Take the restart out of the file.")
    case .FORWARD1:
      ("Clients log in and reach nothing.", "Set net.ipv4.ip_forward to 1 in /etc/sysctl.d.")
    case .RPF1:
      ("Strict reverse path filtering drops packets of clients whose way back is another one.", "Use 2 (loose) where paths may differ.")
    case .PPP1:
      ("xl2tpd cannot open a session without the kernel's PPP.", "Load ppp_generic, now and at boot.")
    case .L2TP1:
      ("Without the kernel's L2TP every packet passes through the daemon.", "Load l2tp_ppp, now and at boot, if sessions are many.")
    case .XL1:
      ("xl2tpd does not start with a file that it cannot read.", "The line is given.")
    case .XL2:
      ("Bound to every address, xl2tpd answers from another one than the client asked, and the client hears nothing.", "Set listen-addr to the address that moves.")
    case .SWAN1:
      ("charon loads nothing from a file with a mistake in it.", "The line is given.")
    case .SWAN2:
      ("What the cluster expects to be loaded is not in the file, so strongswan does not start here.", "Add the connection, or take it out of the parameter.")
    case .PSK1:
      ("Everything is green, and no client can log in.", "Add a secret for the address to the secrets section, then load it.")
    case .LOCAL1:
      ("The connection answers at another address than the one that moves.", "Put the address of the vip resource into local_addrs.")
    case .MODE1:
      ("Every user of the machine can read the keys in it.", "Let root alone read it.")
    case .TRACK1:
      ("conntrackd does not start with a file that it cannot read.", "The line is given.")
    case .TRACK2:
      ("Debian's own file counts connections and sends nothing to the peer.", "Take the example in /usr/share/doc/vpnha/examples/conntrackd.")
    case .LOCK1:
      ("Any local user can make the file first, and then conntrackd does not start.", "Put LockFile into a folder that is root's, such as /run.")
    case .HA1:
      ("charon's ha plugin sends keys to the peer, in clear text without a secret.", "Give both nodes the same long secret.")
    case .HA2:
      ("With monitor = yes the plugin takes segments over by itself, beside the cluster.", "Set monitor = no.")
    case .HA3:
      ("The node that takes over has no IPsec SA through which it could speak to the client of a lost session.", "Take the example in /usr/share/doc/vpnha/examples/strongswan, with the same secret on both nodes.")
    case .KEY1:
      ("The ledger of sessions does not start without its secret, and clients of a lost gateway wait for their own timers.", "Both nodes need the same file.")
    case .KEY2:
      ("The ledgers of the two nodes do not understand each other, and clients of a lost gateway wait for their own timers.", "Copy the file from one node to the other, then restart the resource; the VPN serves meanwhile.")
    case .CERT1:
      ("No client accepts a gateway whose certificate has ended.", "Renew it, and load it on both nodes.")
    case .RESTART1:
      ("needrestart restarts daemons after an upgrade, behind the cluster's back.", "Install the package's /etc/needrestart/conf.d/vpnha.conf.")
    case .RING2: ("Whoever reaches the link can tell the cluster what to do.", "Needs /etc/corosync/authkey on both nodes: corosync-keygen makes it.")
    case .RING3: ("A node that was only busy loses its power, and its clients with it.", "3000 ms is a good value.")
    case .QUOR5: ("corosync does not start with both.", "The device gives the third vote; two_node is for those that have none.")
    case .QUOR6: ("Two nodes that cannot see each other reboot each other without end.", "Leave wait_for_all out, or set it to 1.")
    case .UPGRADE1:
      ("An unattended upgrade restarts daemons whenever it likes, perhaps on both nodes in the same hour.", "Let it leave these packages alone, and upgrade one node at a time, in standby.")
    case .PORT1:
      ("A daemon whose port another program has does not start.", "End that program, or disable the unit that starts it.")
    case .GAP1:
      ("Clients have no VPN although a node is there that could give it.", "status and doctor say what keeps that node from serving.")
    case .HOLLOW1:
      ("Clients reach the address and get no VPN from it.", "Keep the members together in one group or clone, as the README's recipes do.")
    case .PORT2:
      ("The firewall guards another port than the one that xl2tpd serves, so L2TP in clear text is let in.", "Give the firewall the port of xl2tpd.conf.")
    case .XL3:
      ("Without an [lns default] xl2tpd takes no client.", "Take the section from the example in /usr/share/doc/vpnha/examples/xl2tpd.")
    case .XL4:
      ("Any value of ipsec saref has xl2tpd 1.3.18 carry every packet itself, in one thread.", "Take the line out.")
    case .PPP2:
      ("pppd ends at once when its options file is missing, so no session comes up.", "Take the example in /usr/share/doc/vpnha/examples/ppp.")
    case .PPP3:
      ("pppd does not know options of serial lines for L2TP in the kernel, and ends at once.", "Take the option out.")
    case .PPP4:
      ("Whoever knows the pre-shared key gets in without a name and a password.", "Put auth in its place.")
    case .PPP5:
      ("The state of PPP compression and encryption is in one pppd and goes with it.", "Put noccp into the options.")
    case .PPP6:
      ("pppd ends at once with these options, for everybody.", "The line has its own words. Take the option out, or spell it as man pppd does.")
    case .USER1:
      ("Everything is green, and nobody can log in.", "Add users to /etc/ppp/chap-secrets, or the RADIUS plugin to the options.")
    case .FORWARD2:
      ("After the next boot clients log in and reach nothing.", "Keep net.ipv4.ip_forward=1 in a file of /etc/sysctl.d.")
    case .UNIT3:
      ("After a reboot the node joins the cluster only when somebody starts it, and until then nobody can take over.", "Enable it. Leave it off if you prefer to look at a node that has died first.")
    case .CLOCK1:
      ("Clocks that drift apart spoil certificates, the times of failures, and every log that is read side by side.", "Run chrony or systemd-timesyncd on both nodes.")
    case .FLOOD1:
      ("After a take-over everybody comes back at once, and charon's defaults take many clients behind one address for an attack.", "Take the thresholds of the example in /usr/share/doc/vpnha/examples/strongswan.")
    case .TRACK3:
      ("Only in FTFW mode is a lost message sent again; in another one flows are missing after a take-over.", "Use Mode FTFW, as the example does.")
    case .FILTER1:
      ("A packet has to pass every table, so what this one drops our own cannot let in.", "See that it lets in UDP 500 and 4500, ESP, and L2TP that came out of IPsec; then use --skip FILTER1.")
    case .MON5:
      ("A failure that a monitor sees has no consequence.", "Put a monitor without on-fail in its place.")
    case .OFF1:
      ("What is switched off is started nowhere.", "Enable it.")
    case .QUOR4:
      ("After a split both halves go on, and both nodes hold the address.", "Use stop; with two nodes, two_node in corosync.conf lets one alone go on.")
    case .TWO1:
      ("Two nodes hold the same address at once.", "Set promoted-max to 1.")
    case .CLONE3:
      ("It serves, and makes use of what the peer has told, when it is promoted; a plain or merely cloned one never is.", "Make it a promotable clone.")
    case .ORDER1:
      ("What stands before the address in the group is promoted before it, and talks to clients from nowhere.", "Let the address be the first member.")
    case .FENCE5:
      ("The other node may serve, out of sight, while this one starts to serve as well.", "Set startup-fencing to true.")
    case .PREFER1:
      ("After an outage a second one follows, when the node that was lost comes back.", "Leave the service where it is: no preference for a node, and a positive resource-stickiness for plain resources.")
    case .CLONE4:
      ("A node without an instance takes nothing over.", "Leave clone-max out: there is one instance to a node then.")
    case .CLONE5:
      ("A member's records go by its name; one that changes is taken for somebody else's, and is neither found nor started again.", "Leave globally-unique out: each node has one member, and all have one name.")
    case .BIND1:
      ("It stays behind when the address moves, and clients find a part of the VPN only.", "Put it back into the group, after the address; its place in it is the order in which it starts.")
    case .UTIL1:
      ("A node without that capacity takes nothing over, although it could serve.", "Leave the strategy as it is by default: a pair's members fit on one node, or the pair is none.")
    case .WALL2:
      ("A node without its rules answers L2TP in clear text as soon as it serves.", "Bind the VPN to the firewall, and order it after it, as the recipe does.")
    case .STOP1:
      ("What could not be stopped goes on, and may serve beside its successor.", "Leave on-fail out: a node on which a stop fails is fenced.")
    case .TIME1:
      ("An action that needs longer counts as failed; one that is a stop costs the node its power.", "Give it the time that the agent's metadata asks for.")
    case .RING4:
      ("A link needs both ends; with one of them missing there is a link less than it seems.", "Give every node an address on it, or none.")
    case .RING5:
      ("corosync does not start with more than one link unless the transport is knet.", "Use knet, which corosync takes by default; stop the cluster on both nodes before, and start it after.")
    case .QUOR7:
      ("A majority is counted from that number: too high, and nobody has one; too low, and both halves may.", "Leave expected_votes out: corosync counts the nodes.")
    case .CERT2:
      ("swanctl loads no connection whose certificate it does not find.", "Put the file there, or take the name out.")
    case .SWAN3:
      ("charon refuses clients that ask for another mode or another port than a child has; it finds out with the first one.", "A child for L2TP has mode = transport and local_ts = dynamic[udp/1701].")
    case .USER2:
      ("pppd takes only the users of its own name, so nobody can log in.", "Let the second column of chap-secrets be the name in xl2tpd.conf, or *.")
    case .MTU1:
      ("Large packets are cut up or lost: clients log in, and big pages do not come.", "1400 fits into IPsec with NAT traversal on an Ethernet of 1500 bytes.")
    case .CLOCK2:
      ("Clocks that differ spoil certificates, the times of failures, and every log that is read side by side.", "See that a time server can be reached: chronyc sources, or timedatectl timesync-status.")
    case .UPGRADE2:
      ("Both nodes may reboot in the same hour.", "Reboot one node at a time, in standby.")
    case .FILTER2:
      ("What they drop no nftables table lets in, and no nft command shows them.", "See that they let in UDP 500 and 4500, ESP, and L2TP that came out of IPsec; then use --skip FILTER2.")
    case .HA4:
      ("The agents say through that pipe which node has the clients.", "Set fifo_interface = yes.")
    case .HA5:
      ("Neither node hears of the other's clients.", "local is this node's address on the cluster's link, remote the other's.")
    case .SWAN4:
      ("No client of L2TP gets through to it: those speak IKEv1, and have the key that the gateway has.", "Let the connection have version = 1, auth = psk for both ends, and no remote_addrs.")
    case .SWAN5:
      ("charon hears no client, or cannot be spoken to.", "Take the setting out; what charon does not read again counts from its next start.")
    case .XL5:
      ("No client gets a session.", "Take the setting out, or add the one that is missing, as in the example in /usr/share/doc/vpnha/examples/xl2tpd.")
    case .XL6:
      ("Clients with such an address log in, and reach nothing or one another's packets.", "Let the ranges of both nodes lie in the firewall's pool, and the gateway's own address in none of them.")
    case .PPP7:
      ("pppd ends every session whose client does not agree to MPPE, and inside IPsec none does.", "Take the option out: IPsec encrypts.")
    case .USER3:
      ("pppd allows a user no address that the line does not name.", "Add * as the fourth column, or the user's own address.")
    case .USER4:
      ("When both are logged in, what is for one goes to the other.", "Give each user an address of its own, or *.")
    case .XFRM1:
      ("The kernel passes IPsec by on that interface, whatever charon has agreed with the clients.", "Set it to 0, and find out who sets it: grep -r disable_ /etc/sysctl.d.")
    case .TRACK4:
      ("A packet of a connection that finds no place is dropped: old sessions go on, and new ones do not begin.", "Make the table larger, on both nodes, and conntrackd's HashLimit twice as large as the table.")
    case .BOOT1:
      ("A node that boots has the address before the cluster says who serves, beside the node that serves.", "Take it out there: the resource vip sets it.")
    case .FILTER3:
      ("Until the next monitor nobody gets in, and its failure may move the VPN.", "Let the file delete its own tables, and not those of others.")
    case .MON6:
      ("What fails in between is not noticed.", "Let the quick monitor come every 10 seconds.")
    case .FENCE6:
      ("What is left takes over when the device says that it has done its work, whatever that was; a node that was only switched off stays away.", "Leave the action out: a node is switched off and on again.")
    case .ORDER2:
      ("The VPN waits for a resource that only helps it, or takes over before that has done its work.", "Order it first, with kind=Optional, as the recipe does.")
    case .WALL3:
      ("Where clients come in nothing is filtered, and L2TP in clear text is answered.", "Let outside name the interface of the address, and address the address itself.")
    case .ADDR2:
      ("Two resources give one address to two nodes, or take it from each other.", "Keep the one of ocf:vpnha:vip.")
    case .START1:
      ("The resource would not start on this node with this configuration.", "The summary is the agent's own reason, and names the parameter or the file.")
    case .START2:
      ("Whether the resource would start could not be found out.", "Run the agent by hand: vpnha run AGENT validate-all.")
    case .START3:
      ("The value would be refused: the old one stays in force, or the default at the next start, and the resource is at risk.", "Give it a value that the agent takes; vpnha run AGENT meta-data tells which.")
    }
  }

  /// A paragraph for a reader.
  var explanation: String {
    var screen = Screen()
    screen.add("\(rawValue): \(why) \(remedy)")
    return screen.lines.joined(separator: "\n")
  }
}
