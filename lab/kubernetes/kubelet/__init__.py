"""The kubelet: a node whose containers are processes of this machine.

Each pod has a loopback address of its own, so all pods can listen on the same port; a program binds to its pod's
address (`status.podIP` by a fieldRef), never to 0.0.0.0. There are no images: a container is its command and
arguments. There is no isolation beyond the address, the environment and the working directory: memory limits are
enforced by looking, CPU limits are not.

Whatever ends the kubelet ends its processes. On SIGTERM it stops them itself. Against SIGKILL each container's first
process asks the kernel to die with the kubelet (PR_SET_PDEATHSIG), and a reaper, forked at the start, sees the end of
its pipe and kills the process groups that are left, which takes the first processes' children too.
"""
