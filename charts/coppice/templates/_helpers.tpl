{{/* Name of everything that the chart makes. */}}
{{- define "coppice.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride }}
{{- else if contains .Chart.Name .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Labels that find the objects of this release. */}}
{{- define "coppice.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of every object but the CustomResourceDefinitions. */}}
{{- define "coppice.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "coppice.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: {{ .Chart.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "coppice.image" -}}
{{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) | quote }}
{{- end }}

{{/* Everything that both Pods, the operator's and the release hook's, have in common. */}}
{{- define "coppice.podCommon" -}}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "coppice.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* What the operator may do in a namespace that it looks after. It never reads Secrets, and ConfigMaps only
     where that is switched on: it asks for their metadata, but the right covers their contents. */}}
{{- define "coppice.rules" -}}
{{ include "coppice.trackingRules" . }}
{{- if not .Values.authority.optIn }}
{{ include "coppice.workloadRules" . }}
{{- end }}
{{- end }}

{{/* Seeing trees and what belongs to them, and saying how they are. */}}
{{- define "coppice.trackingRules" -}}
- apiGroups: [coppice.dev]
  resources: [supervisiontrees]
  verbs: [get, list, watch, patch]
- apiGroups: [coppice.dev]
  resources: [workers]
  verbs: [get, list, watch]
- apiGroups: [coppice.dev]
  resources: [supervisiontrees/status, workers/status]
  verbs: [patch]
- apiGroups: [apps]
  resources: [controllerrevisions]
  verbs: [get, list, watch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [resourcequotas]
  verbs: [list, watch]
{{- if .Values.configMaps.watch }}
- apiGroups: [""]
  resources: [configmaps]
  verbs: [list, watch]
{{- end }}
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, list, watch]
{{- end }}

{{/* Making Workers, Pods, their claims, and what goes with them. Pods get other images (`update.method`). Claims are given owners, and never deleted. */}}
{{- define "coppice.workloadRules" -}}
- apiGroups: [coppice.dev]
  resources: [workers]
  verbs: [create, delete]
- apiGroups: [coppice.dev]
  resources: [workers/scale]
  verbs: [patch]
# Needed where the cluster lets only those block the deletion of an owner who may finalize it.
- apiGroups: [coppice.dev]
  resources: [supervisiontrees/finalizers, workers/finalizers]
  verbs: [update]
- apiGroups: [apps]
  resources: [controllerrevisions]
  verbs: [create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [create, patch, delete]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [create, patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [create, patch, delete]
{{- end }}

{{/* What the release hook may do in a namespace that the operator looked after. */}}
{{- define "coppice.releaseRules" -}}
- apiGroups: [coppice.dev]
  resources: [supervisiontrees]
  verbs: [get, list, patch]
{{- end }}

{{/* Annotations that make an object part of the release hook, and end it with the hook. */}}
{{- define "coppice.releaseHook" -}}
helm.sh/hook: pre-delete
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
